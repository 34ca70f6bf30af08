// Package fanout asks many nodes one question, and says of each how that
// ended.
//
// A slow, dead or lying node costs its own data and never the answer's time:
// so many nodes are asked at a time and not more, and each has its own timeout,
// below the question's. A node that failed is then left alone for a while, with
// its breaker open; after that it is probed, in a lane apart from the
// questions, and asked again once it answers, in the very question that found
// it due if there is still time. Whatever happens, every node ends up either
// among the answers or among the missing.
//
// What all of that may take is bounded: questions to many nodes wait for one
// another, and are refused if that takes too long; the bytes of answers count
// against the budgets of their question and of the process until the question
// ends.
package fanout
