// Package api is what an agent serves: the peer API to aggregators, and to
// those on its own node /api/v1 of that node and the debug pages.
package api
