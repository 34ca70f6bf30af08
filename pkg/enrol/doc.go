// Package enrol is how an agent gets its certificate without anyone's hand work.
//
// The agent makes a key, which never leaves its memory, and asks an aggregator
// to sign it ([Client]). It shows the token that the kubelet gives its pod, made
// out to Rollcall and nobody else; the aggregator lets the API server check it,
// and vouches for the node that the token is bound to, whatever the request
// says (aggregator/enrol).
//
// A request is good on its own connection only: a [Proof] binds key, token and
// connection to each other, so that a request cannot be sent on or a second time.
// The token itself is what an agent is known by: whoever reads it in the pod can
// be that node's agent, and no other's, until it expires or the pod is gone.
package enrol
