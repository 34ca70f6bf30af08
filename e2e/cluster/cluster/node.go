package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/sandbox"
)

// A Node is a node of the cluster. Its methods may be called at the same time,
// but orders about the same thing (stop and start) one after the other.
type Node struct {
	Name string
	IP   netip.Addr

	index   int // from 1
	cluster *Cluster
	dir     string // on the node it is nodeDir
	cgroup  string

	host                       *sandbox.Host
	containerd, kubelet, proxy *component
}

// nodeDir is a node's own directory as the node sees it.
func (n *Node) nodeDir() string { return filepath.Join(sandbox.StateDir, "nodes", n.Name) }

func (c *Cluster) newNode(i int) *Node {
	n := &Node{Name: fmt.Sprintf("node-%d", i), IP: nodeAddress(i), index: i, cluster: c}
	n.dir = filepath.Join(c.dir, "nodes", n.Name)
	of := func(name string, args ...string) *component {
		return &component{name: name + " of " + n.Name, log: filepath.Join(c.Logs, n.Name, name+".log"), args: args,
			launch: func(cmd *exec.Cmd) error { return n.launch(cmd) }}
	}
	file := func(name string) string { return filepath.Join(n.nodeDir(), name) }
	n.containerd = of("containerd", "/usr/bin/containerd", "--config", file("containerd.toml"))
	n.kubelet = of("kubelet", c.binary("kubelet"),
		"--config="+file("kubelet.yaml"), "--kubeconfig="+file("kubelet.kubeconfig"),
		"--hostname-override="+n.Name, "--node-ip="+n.IP.String(),
		fmt.Sprintf("--node-labels=topology.kubernetes.io/zone=zone-%d", i))
	n.proxy = of("kube-proxy", c.binary("kube-proxy"), "--config="+file("kube-proxy.yaml"), "--hostname-override="+n.Name)
	return n
}

func (n *Node) components() []*component { return []*component{n.containerd, n.kubelet, n.proxy} }

// prepare makes the node's disk.
func (n *Node) prepare() error {
	for _, dir := range []string{"lib", "log", "tmp", "cache"} {
		if err := os.MkdirAll(filepath.Join(n.dir, "var", dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("/run", filepath.Join(n.dir, "var", "run")); err != nil {
		return err
	}
	return nil
}

// boot switches the node's machine on, with containerd, but not with kubelet.
func (n *Node) boot(ctx context.Context) (err error) {
	if n.cgroup, err = sandbox.MakeCgroup(n.Name); err != nil {
		return err
	}
	if err := n.writeConfig(); err != nil {
		return err
	}
	if n.host, err = sandbox.StartHost(n.Name, filepath.Join(n.dir, "var")); err != nil {
		return err
	}
	if err := n.settle(ctx); err != nil {
		return err
	}
	if err := n.plugIn(ctx); err != nil {
		return err
	}
	if err := n.containerd.start(); err != nil {
		return err
	}
	return await(ctx, n.containerd.name, []*component{n.containerd}, func(ctx context.Context) error {
		_, err := n.ctr(ctx, "version")
		return err
	})
}

// settle makes the kernel look as kubelet wants it. It would set these for the
// whole machine, of which we are guests.
func (n *Node) settle(ctx context.Context) error {
	for name, value := range map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	} {
		file := filepath.Join(n.dir, "sys", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if _, err := n.Run(ctx, "mount", "--bind", filepath.Join(n.nodeDir(), "sys", name), "/proc/sys/"+name); err != nil {
			return err
		}
	}
	return nil
}

// StartKubelet starts kubelet and kube-proxy. It does not wait for the node to
// be Ready; see [Cluster.AwaitNodes].
func (n *Node) StartKubelet(context.Context) error {
	return errors.Join(n.kubelet.start(), n.proxy.start())
}

// StopKubelet stops kubelet. Its pods go on, and Services as they are.
func (n *Node) StopKubelet() { n.kubelet.stop(unix.SIGTERM) }

// PowerOff ends everything on the node at once and without a word. Its disk
// stays.
func (n *Node) PowerOff() error {
	if n.host == nil {
		return nil
	}
	err := n.host.Kill()
	n.host = nil
	n.unplug(context.Background())
	for _, c := range n.components() {
		c.kill() // it is dead already
	}
	// A kernel forgets them, and kubelet would look into each for seconds.
	return errors.Join(err, sandbox.RemoveCgroup(n.Name))
}

// PowerOn starts a node that was switched off. It does not wait for the node to
// be Ready; see [Cluster.AwaitNodes].
func (n *Node) PowerOn(ctx context.Context) error {
	if n.host != nil {
		return fmt.Errorf("%s is on", n.Name)
	}
	if err := n.boot(ctx); err != nil {
		return fmt.Errorf("switch %s on: %w", n.Name, err)
	}
	return n.StartKubelet(ctx)
}

// Run runs a command on the node and returns its output.
func (n *Node) Run(ctx context.Context, name string, args ...string) (string, error) {
	out, err := run(ctx, nil, n.launch, name, args...)
	if err != nil {
		return out, fmt.Errorf("on %s: %w", n.Name, err)
	}
	return out, nil
}

// launch starts a command on the node.
func (n *Node) launch(cmd *exec.Cmd) error {
	if n.host == nil {
		return fmt.Errorf("%s is switched off", n.Name)
	}
	return n.host.Start(cmd)
}

// DialContext connects from the node's network to an IP address, so to pods and
// to addresses of Services.
func (n *Node) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if n.host == nil {
		return nil, fmt.Errorf("%s is switched off", n.Name)
	}
	return n.host.DialContext(ctx, network, address)
}

// Resolver resolves names on the node as its pods do.
func (n *Node) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return n.DialContext(ctx, network, net.JoinHostPort(dnsService, "53"))
	}}
}

// ctr is containerd's client.
func (n *Node) ctr(ctx context.Context, args ...string) (string, error) {
	return n.Run(ctx, "ctr", append([]string{"--namespace", "k8s.io"}, args...)...)
}

// LoadImage loads the images of an archive below the state directory.
func (n *Node) LoadImage(ctx context.Context, archive string) error {
	_, err := n.ctr(ctx, "images", "import", "--snapshotter", snapshotter, archive)
	return err
}

// KillContainer kills a container's main process. The id is that of a container
// status, with or without containerd://.
func (n *Node) KillContainer(ctx context.Context, id string) error {
	_, err := n.ctr(ctx, "tasks", "kill", "--signal", "SIGKILL", strings.TrimPrefix(id, "containerd://"))
	return err
}
