// Package identity knows who a peer is.
//
// The certificate says it, in one URI: rollcall://agent/<node> or
// rollcall://aggregator/<name>. A [Source] holds this process's own
// certificate and the CA, reads them again when the files change, and makes
// TLS configurations that let in only whom they should: a server names the
// role that may call it, a client names the very peer that it means to reach.
// DNS names and addresses play no part: a pod's address changes, its node
// does not.
//
// [GossipKeys] reads the keys that admit to the gossip roster. They say who
// belongs to the fleet, not who is who: data always needs a certificate.
package identity
