package cluster

import (
	"fmt"
	"net/netip"
)

// The cluster's addresses; all networks are the sandbox's own.
const (
	apiAddress     = "10.99.0.1"
	apiPort        = 6443
	apiService     = "10.96.0.1"
	dnsService     = "10.96.0.10"
	serviceNetwork = "10.96.0.0/16"
	podNetwork     = "10.244.0.0/16"
	dnsDomain      = "cluster.local"

	// maxNodes is far more than a machine bears, and what the addresses allow.
	maxNodes = 100
)

// nodeAddress is node-i's; i counts from 1.
func nodeAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 99, 0, byte(10 + i)}) }

// podSubnet is the network of node-i's pods.
func podSubnet(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(i), 0}), 24)
}

// apiURL is the API server's, for everything inside.
func apiURL() string { return fmt.Sprintf("https://%s:%d", apiAddress, apiPort) }
