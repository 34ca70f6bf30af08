// Package standin is a kubelet that is not there: an [http.Handler] which
// answers GET /stats/summary with what a real kubelet answered, as a node of
// its own among many, and which can be told to fail in the ways kubelets do.
//
// A recording of 180 answers (45 min of one node with 55 pods) is embedded. It
// is replayed in a loop: one recorded answer is one slot, whatever the
// resolution. Each stand-in has its own node name, pods, UIDs and amounts, and
// a schedule of restarts, replaced pods and pods that are missing for a while.
//
// The answer for a slot is a pure function of (seed, node, pods, resolution,
// slot). That makes the stand-in a judge as well: it only remembers which slots
// it served in which form (the last 24 h of them), and [Kubelet.Truth] builds
// those answers once more and reads them out, in exact integers.
//
// # What is kept of the recording
//
//   - Structure, order and presence of fields; namespaces and workload names.
//   - Lags. A stat's time lies as long before its slot as it lay before the
//     request; a stat repeated in the next answer keeps its time and its
//     numbers. Below 15 s of resolution lags shrink in proportion, so that two
//     measurements never share a second.
//   - Memory is in whole pages, and a working set is never above the usage.
//
// # What is altered, and why
//
//   - Counters go on over the end of the loop, start near 0 when their entity
//     does, and grow at the recorded rate per second at every resolution.
//   - PSI is 0 and pods have no network in the recording (cgroup v1). Both are
//     made up here from the CPU time spent, so that every metric is exercised.
//   - A node boots every 128 days, counted from 1970, and all its pods start
//     anew: so totals stay plausible wherever the clock stands.
//
// The package shares no code with the agent, which it judges: it reads and
// writes with the types of k8s.io/kubelet and with encoding/json.
package standin
