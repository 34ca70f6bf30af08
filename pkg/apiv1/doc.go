// Package apiv1 is the HTTP contract /api/v1: its routes, parameters, JSON and
// errors. Agents serve it for their own node, aggregators for the fleet; what
// differs is the [Source] of the answers.
//
//	GET /api/v1/node
//	GET /api/v1/node/{node}
//	GET /api/v1/pod
//	GET /api/v1/pod/{namespace}
//	GET /api/v1/pod/{namespace}/{pod}
//	GET /api/v1/pod/{namespace}/{pod}/{container}
//
// An answer is put together entity by entity: the chunks of all nodes are held
// as they came, coded, or not even read, and read, decoded, merged and written
// one pod or node at a time, so that JSON and points never exist all at once.
// Nodes may have left out what is not asked for, and made steps of slots (see
// pkg/series); what they did not do is done here, with the same result.
package apiv1
