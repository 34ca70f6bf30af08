// Package stranger speaks to members of a fleet as somebody does who is none:
// it knows everything about the protocols, and has neither certificate nor key.
package stranger
