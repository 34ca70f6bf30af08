// Package obs holds what both binaries need to be observed: the logger, the
// metrics registry, the probes, the profiler, and the HTTP servers that show
// them.
//
// Nothing here is global. A binary's composition root makes one logger and one
// registry and hands them on; every server gets its own mux, and none ever
// serves [net/http.DefaultServeMux].
//
// What goes wrong again and again (a kubelet that refuses, a disk that is
// full) is logged through a [Change]: one line when it starts, one when it
// turns into something else, one when it is over.
package obs
