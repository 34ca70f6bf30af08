// Package follow keeps up with a resource of the API server: it lists it page by
// page, then watches, and goes on when the API server was away.
//
// It is client-go's reflector without an informer's store, which would hold whole
// objects: whoever follows keeps what it needs, and drops the rest of each page
// before the next one comes. On top it is told how that goes, for metrics, for the
// log once per change, and for people ([Contact]).
package follow
