// Package expected says which nodes should answer: the denominator of every
// coverage. A node that is missing must be known to be missing, so this is
// what should exist, and not whoever happens to be here.
//
// Without a cluster to ask, it is either a file that someone keeps ([File]) or
// what the roster remembers ([Roster]).
package expected
