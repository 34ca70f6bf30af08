// Package fullnode is what a kubelet says of a full node: 110 pods with 200
// containers, slot after slot, for as long as is wanted. It is made of a
// recording of 55 real pods (see e2e/fleet/standin), for benchmarks:
//
//   - Each pod follows a recorded one, with its own place in the recording, its
//     own amounts, and noise of ±5 % on what moves. What stood still in the
//     recording stands still here: the kubelet shows a measurement again, a
//     counter does not move, a page count stays.
//   - PSI is 0, as recorded (cgroup v1), but present in containers as well, as
//     kubelets on cgroup v2 show it. Pods have no network, as recorded.
//   - On average a pod is replaced once a day, and a container restarts once in
//     four days.
//   - With [Moving], each entity is measured anew in each slot and all its
//     counters move, PSI and the network of pods included.
//
// The stand-in of e2e/fleet serves another purpose: it tells in exact numbers
// what it said, shows every oddity of kubelets within minutes, and has 154
// containers for 110 pods. Here the amount is what matters.
package fullnode
