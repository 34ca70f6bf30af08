// Package series puts the samples of one entity together: points by slot, and
// steps made of slots. Agents use it to send no more of their chunks than a
// question is about ([Narrower]), aggregators to merge what nodes sent.
//
// Steps can be put together in parts. What is sent of a mean is its sum and how
// many values it has, of the last value when it was; so the parts of a step
// from several chunks give exactly what all its slots would have given.
package series
