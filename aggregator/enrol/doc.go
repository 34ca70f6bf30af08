// Package enrol signs agents' certificates: the aggregator's side of pkg/enrol.
//
// It believes nothing that a request says of itself. The API server says whose
// the token is and to which node and pod it is bound; a node that was broken
// into can be itself, and nobody else.
package enrol
