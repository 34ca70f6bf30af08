// Package fanout asks many nodes one question, and says of each how that
// ended.
//
// A slow, dead or lying node costs its own data and never the answer's time:
// so many nodes are asked at a time and not more, each has its own timeout,
// below the question's, and nodes that answered the last time are asked before
// those that did not. Whatever happens, every node ends up either among the
// answers or among the missing.
package fanout
