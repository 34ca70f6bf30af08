// Package dashboard answers the Kubernetes Dashboard in place of its metrics
// scraper. Its contract is the Dashboard's own client
// (kubernetes/dashboard, modules/api/pkg/integration/metric/sidecar), which adds up
// pods by the exact second and takes any answer but a good one for none: so every
// answer is 200 and comes within a second, all series of an answer have the same
// slots, and a slot that is still coming in is not told.
//
// Pages ask again and again for the same. So what agents have told of a namespace is
// kept for as long as somebody asks for it, and grows by the newest slot of the
// snapshot; agents are asked for what is not kept.
//
//	handler.go  the routes
//	path.go     what a request asks for
//	windows.go  what is kept, and for how long
//	window.go   one namespace, or the nodes: what of it is here, what is asked for
//	track.go    the last slots of one container, or of a node
//	render.go   the answer
//	page.go     everything else: a text for people
//	forward.go  from a Service in the Dashboard's namespace to the aggregators
package dashboard
