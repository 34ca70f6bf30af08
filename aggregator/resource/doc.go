// Package resource serves metrics.k8s.io/v1beta1, the Resource Metrics API, from
// the snapshot: what kubectl top shows and autoscalers act on.
//
// k8s.io/apiserver does what all API servers do: discovery, OpenAPI, JSON,
// protobuf and tables, who asks and whether he may. Ours is what is in the
// objects:
//
//   - A pod is served whole or not at all: HorizontalPodAutoscalers add up its
//     containers, and do not notice that one is missing.
//   - CPU is the newest rate that was measured, and Timestamp and Window are when:
//     never the time of the question. The same sample has the same ones, whichever
//     aggregator answers.
//   - A node that does not answer keeps its last values for
//     [github.com/rollcall-metrics/rollcall/pkg/model.StaleSlots] slots. Then it has
//     none, and a Get of it, or of one of its pods, says why.
//
// Which pods there are, on which node, and their labels, the API server says; what
// they use, the agent of that node, and no other one.
//
//	server.go   the API server
//	trust.go    whom it believes who asks
//	fleet.go    what it serves from
//	nodes.go    NodeMetrics
//	pods.go     PodMetrics
//	usage.go    from a chunk to usage
//	missing.go  why there is none
//	page.go     limit and continue
//	room.go     how much lists may hold
//	table.go    what kubectl get shows
//	storage.go  what the API server wants to know of a resource
package resource
