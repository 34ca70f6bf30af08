// Package model holds the words of Rollcall: slots, entities, metrics.
//
// Time is cut into slots, which are the same on all nodes: a slot starts at a
// multiple of the resolution in Unix time. In every slot an agent reads its
// kubelet once and gets a [Scrape]: a [Sample] of the node, of each pod and of
// each container. A sample holds the metrics that the kubelet reported,
// unsigned integers in the unit of each [Metric]; what it did not report is
// absent, never 0. Slots are stored in blocks of 15 minutes.
//
// The package depends on the standard library only.
package model
