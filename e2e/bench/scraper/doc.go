// Command scraper stands for a central scraper, to compare with: one process
// that fetches /metrics/resource of every kubelet every cycle, parses the text
// with Prometheus's parser, and keeps the last two cycles in memory, as rates of
// CPU need. It follows what metrics-server does (pkg/scraper, pkg/storage), by
// its shape and not its code: a goroutine per node, begun within 4 s at random
// so that not all ask at once; a map of points by pod and container; a new pair
// of maps per cycle. What metrics-server does besides, it does not: logs, own
// metrics, the lists of nodes and pods that it watches, serving anybody.
//
// It is a module of its own so that Prometheus is no requirement of the product.
//
//	main.go    what it is told, and by whom
//	scrape.go  one cycle over all nodes
//	decode.go  the text of one node
//	store.go   the last two cycles
package main
