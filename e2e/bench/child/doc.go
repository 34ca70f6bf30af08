// Package child runs what is measured in processes of its own, where CPU and
// memory are counted per process: [Process] is such a process as its parent sees
// it, [Main] is main of one that does a [Job].
package child
