package cluster

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// ContainerPID is the process ID of a container's main process, as its node sees
// it. The id is that of a container status, with or without containerd://.
func (n *Node) ContainerPID(ctx context.Context, id string) (int, error) {
	id = strings.TrimPrefix(id, "containerd://")
	tasks, err := n.ctr(ctx, "tasks", "list")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(tasks) {
		// TASK PID STATUS
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == id && fields[2] == "RUNNING" {
			return strconv.Atoi(fields[1])
		}
	}
	return 0, fmt.Errorf("container %.12s does not run on %s:\n%s", id, n.Name, tasks)
}
