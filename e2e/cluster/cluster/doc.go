// Package cluster runs a real Kubernetes cluster: a control plane, and nodes
// that are hosts of a sandbox, each with its own containerd, kubelet and
// kube-proxy. It runs inside a sandbox, which is what cleans up after it.
//
//	10.99.0.1        API server, in the sandbox's network
//	10.99.0.10+i     node-i, behind the bridge
//	10.244.i.0/24    pods of node-i
//	10.96.0.0/16     Services; 10.96.0.10 is DNS
//
// Two clusters use the same addresses, each in its own sandbox.
package cluster
