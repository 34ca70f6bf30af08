// Package authority is the fleet's certificate authority, kept in the cluster.
//
// Three objects in the aggregators' namespace hold it, which exist, empty, before
// the first aggregator starts, so that an aggregator needs no right to create
// any:
//
//   - Secret rollcall-authority: the CAs with their keys, for aggregators only;
//   - ConfigMap rollcall-trust: their certificates, which agents mount;
//   - Secret rollcall-gossip: the gossip keys, which agents mount.
//
// Beside them, the APIService of metrics.k8s.io has the certificates while it names
// the aggregators; see [Registration].
//
// Each aggregator runs a [Keeper], and all do the same: what is absent they
// make, what is about to end they replace. An update that another aggregator was
// faster with fails, and is looked at anew; so nobody has to be the leader.
package authority
