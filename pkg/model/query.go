package model

// A Query asks one node for its chunks.
type Query struct {
	// Pods asks for the node's pods; otherwise it is the node itself.
	Pods bool
	// Namespace and Pod, if not empty, keep only that namespace or pod. A pod
	// needs its namespace.
	Namespace, Pod string
	// From and To bound the slots, both included, in Unix seconds. Chunks
	// come whole: they may have samples outside.
	From, To int64
}
