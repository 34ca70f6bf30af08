// Package dashboard is the Kubernetes Dashboard as a client of its metrics scraper,
// written anew from what its client does, and a conformance test of whoever answers it.
//
// The rules are the client's (kubernetes/dashboard,
// modules/api/pkg/integration/metric/sidecar), and none of them forgives: what breaks
// one is a graph that is empty or wrong, without a word why.
//
//   - Pods are asked for by name, those of a namespace in one request for each metric,
//     all names in the path. An item belongs to the pod that its uids[0] names.
//   - Nodes are asked for one by one, and the first item is the node's.
//   - A value is an unsigned integer. One that is not loses the whole answer.
//   - What is shown of several pods is their sum, second by second: who has no point at
//     a second adds nothing to it. The last point is the current value.
//   - Without --sidecar-host questions come through the API server's proxy of a
//     Service ([Proxied]); with it they go to that host ([Direct]).
//
// [TestContract] is what every [Target] has to pass, aggregators on this machine and in
// a real cluster alike.
//
//	client.go    whom is asked, and how
//	answer.go    what an answer means to the Dashboard
//	series.go    sums
//	target.go    who is tested, and what is known of it
//	form.go      what an answer has to look like
//	contract.go  the conformance test; contract_*.go its checks
package dashboard
