// Package expected says which nodes should answer: the denominator of every
// coverage. A node that is missing must be known to be missing, so this is
// what should exist, and not whoever happens to be here.
//
// In Kubernetes it is the API server's nodes, less those on which the agent's
// DaemonSet does not want to run ([Cluster]). Without an API server to ask, it
// is either a file that someone keeps ([File]) or what the roster remembers
// ([Roster]).
package expected
