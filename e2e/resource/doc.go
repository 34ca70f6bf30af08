// Package resource has no code, only tests of metrics.k8s.io, and of what the
// Kubernetes Dashboard is told, among agents that run: kubelets whose every measurement
// a test decides, real samplers, rings and peer APIs, and two real aggregators, which
// ask them over mutual TLS. All of it is in one bubble of testing/synctest, so that
// what happens at which second is the same each time.
package resource
