// Package kubelet reads the Summary API of the local kubelet into model
// samples.
//
// A [Client] asks GET /stats/summary over TLS, in one of two forms: [Light]
// (cpu, memory and swap only) or [Full]. What comes back is bounded in time
// and size, decoded leniently and handed on as a [model.Scrape]: a field that
// is missing or makes no sense is absent and noted, it never costs the rest
// of the answer. [Decode] is the same without the network.
//
// Every failure is an [*Error] whose [Kind] is a metric label and whose text
// says what to do next.
//
// The agent needs the verb get on the resource nodes/stats, nothing else.
package kubelet
