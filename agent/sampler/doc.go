// Package sampler reads the kubelet once a slot and puts the answer into the
// ring.
//
// The slot says when: at a fixed phase in its first half, from a hash of the
// node's name, so that the kubelets of a cluster are not all asked in the same
// second. Every fourth slot asks for the full form, the others for the light
// one. What goes wrong is kept for /debug/summary, counted, and logged once
// per change; the next slot tries again.
package sampler
