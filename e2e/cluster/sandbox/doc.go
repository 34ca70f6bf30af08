// Package sandbox runs a program in namespaces of its own, so that whatever it
// starts, mounts or wires up goes with it, however it ends.
//
// [Run] is called first thing in main or TestMain, and runs the same binary in
// three roles:
//
//	outside   builds what needs the network, keeps the state directory
//	init      process 1 of new PID, mount and network namespaces: mounts, reaps
//	work      the program itself, the only child of init
//
// When the outer process dies, by SIGKILL too, the kernel kills init, with it
// every process inside, and with the last of them the mounts and the network.
// What lasts is the state directory and cgroups of the same name. They are
// removed at the end, and those of runs that were killed by the next run.
//
// Inside, a [Host] is a machine: process, mount, network and host name
// namespaces below those of the sandbox.
package sandbox
