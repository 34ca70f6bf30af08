package cluster

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// bridge connects the nodes and the control plane.
const bridge = "nodes"

// cable is the end of a node's link that is plugged into the bridge.
func (n *Node) cable() string { return n.Name }

func ip(ctx context.Context, args string) error {
	_, err := run(ctx, nil, (*exec.Cmd).Start, "ip", strings.Fields(args)...)
	return err
}

// connect makes the bridge, and the routes to all nodes' pods.
func (c *Cluster) connect(ctx context.Context) error {
	steps := []string{
		"link add " + bridge + " type bridge",
		"address add " + apiAddress + "/24 dev " + bridge,
		"link set " + bridge + " up",
		// Whoever looks for the world outside is told at once that there is none.
		"route add unreachable default",
	}
	for _, n := range c.Nodes {
		steps = append(steps, fmt.Sprintf("route add %v via %v", podSubnet(n.index), n.IP))
	}
	for _, s := range steps {
		if err := ip(ctx, s); err != nil {
			return err
		}
	}
	return forward(ctx, (*exec.Cmd).Start)
}

// disconnect removes it all.
func (c *Cluster) disconnect(ctx context.Context) error {
	return errors.Join(ip(ctx, "route delete unreachable default"), ip(ctx, "link delete "+bridge))
}

// forward makes a network pass on packets.
func forward(ctx context.Context, launch func(*exec.Cmd) error) error {
	_, err := run(ctx, nil, launch, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	return err
}

// unplug removes the node's link. The kernel does so as well once the host is
// dead, but not at once.
func (n *Node) unplug(ctx context.Context) {
	_ = ip(ctx, "link delete "+n.cable()) // the kernel was first
}

// plugIn gives the node's host its network.
func (n *Node) plugIn(ctx context.Context) error {
	for _, s := range []string{
		"link add " + n.cable() + " type veth peer name eth0 netns " + strconv.Itoa(n.host.PID()),
		"link set " + n.cable() + " master " + bridge + " up",
	} {
		if err := ip(ctx, s); err != nil {
			return err
		}
	}
	steps := []string{
		fmt.Sprintf("address add %v/24 dev eth0", n.IP),
		"link set eth0 up",
		"route add default via " + apiAddress,
	}
	for _, peer := range n.cluster.Nodes {
		if peer != n {
			steps = append(steps, fmt.Sprintf("route add %v via %v", podSubnet(peer.index), peer.IP))
		}
	}
	for _, s := range steps {
		if _, err := n.Run(ctx, "ip", strings.Fields(s)...); err != nil {
			return err
		}
	}
	return forward(ctx, n.launch)
}

// CutNetwork unplugs the node. What is on it reaches each other and the node
// itself, and nothing else.
func (n *Node) CutNetwork(ctx context.Context) error {
	return ip(ctx, "link set "+n.cable()+" down")
}

// HealNetwork plugs it in again.
func (n *Node) HealNetwork(ctx context.Context) error {
	return ip(ctx, "link set "+n.cable()+" up")
}
