// Package kubelets serves /metrics/resource of a whole fleet, as kubelets of
// Kubernetes 1.36 write it, so that a central scraper has something to fetch:
// per node 30 pods with 45 containers, in the families, order, number format and
// length of names of a recorded answer. The numbers are made up; they move with
// every request.
package kubelets
