// Package apiserver is as much of a Kubernetes API server as an aggregator asks, for a
// fleet of deployments ([virtual.Census]): nodes, pods and the agents' DaemonSet to
// list and to watch, how the API server is known when it passes on somebody's
// request, and reviews of tokens and rights.
//
// It is a stand-in for load only. Objects have the size, the number and the changes
// of a large cluster's, and come over TLS and HTTP/2 in protobuf, page by page; they
// are made when they are asked for. But nothing can be changed, everyone may do
// everything, selectors are not looked at (a pod that is there is running, and there
// is one ConfigMap), and a state that was listed once is never forgotten. What depends
// on an API server's behaviour is tested with a real one, in e2e/cluster.
//
//	job.go        the process
//	server.go     paths
//	resource.go   what can be listed and watched
//	watch.go      watches
//	pods.go       pods as they come and go
//	objects.go    pods and nodes as they look
//	review.go     TokenReviews and SubjectAccessReviews
//	trust.go      who the API server is
package apiserver
