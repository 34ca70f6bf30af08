package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/build"
	"github.com/rollcall-metrics/rollcall/e2e/cluster/sandbox"
)

// A Config says what cluster to run.
type Config struct {
	// Nodes is how many. Required.
	Nodes int
	// Images are those that nodes have, from [Prepare], besides the cluster's own.
	Images build.Choice
	// OutsidePort, if not 0, is a port of 127.0.0.1 outside the sandbox that
	// leads to APISocket; OutsideKubeconfig uses it.
	OutsidePort int
	// Progress is told what goes on, a line at a time; nil is nobody.
	Progress func(format string, args ...any)
}

// APISocket is the name of a socket in the state directory that leads to the
// API server.
const APISocket = "apiserver.sock"

// A Cluster is a cluster that runs.
type Cluster struct {
	Nodes []*Node
	// Kubeconfig is the admin's, for use inside. OutsideKubeconfig is the name
	// outside of one for use there; "" without OutsidePort.
	Kubeconfig, OutsideKubeconfig string
	// REST and Client are the admin's.
	REST   *rest.Config
	Client kubernetes.Interface
	// Logs is the directory of all components' logs.
	Logs string

	cfg     Config
	dir     string
	control *controlPlane
	// stop ends the forwarding to outside.
	stop      context.CancelFunc
	forwarded chan struct{}
}

// LogsDir is the name of the directory with components' logs in the state
// directory.
const LogsDir = "logs"

// Start starts a cluster in this sandbox, which has room for one at a time. It
// returns when all nodes are Ready and CoreDNS answers on all of them.
func Start(ctx context.Context, cfg Config) (_ *Cluster, err error) {
	if !sandbox.Inside() {
		return nil, errors.New("start a cluster: not in a sandbox; see sandbox.Run")
	}
	if cfg.Nodes < 1 || cfg.Nodes > maxNodes {
		return nil, fmt.Errorf("start a cluster: %d nodes are not in 1 to %d", cfg.Nodes, maxNodes)
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, ...any) {}
	}
	c := &Cluster{cfg: cfg, dir: sandbox.StateDir, Logs: filepath.Join(sandbox.StateDir, LogsDir), stop: func() {}}
	for i := range cfg.Nodes {
		c.Nodes = append(c.Nodes, c.newNode(i+1))
	}
	c.control = c.newControlPlane()
	defer func() {
		if err != nil {
			err = fmt.Errorf("start a cluster: %w", errors.Join(err, c.Close()))
		}
	}()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"certificates and network", c.lay},
		{"control plane, and containerd on all nodes", c.startMachines},
		{"nodes Ready", c.startNodes},
		{"CoreDNS", c.awaitDNS},
	} {
		began := time.Now()
		if err := step.do(ctx); err != nil {
			return nil, err
		}
		cfg.Progress("%s: %v", step.name, time.Since(began).Round(100*time.Millisecond))
	}
	return c, nil
}

// binary is the path of a program that was built.
func (c *Cluster) binary(name string) string { return filepath.Join(sandbox.BinDir, name) }

// lay does what takes no process.
func (c *Cluster) lay(ctx context.Context) error {
	// An earlier cluster's in this sandbox.
	for _, name := range []string{"nodes", "pki", APISocket} {
		if err := os.RemoveAll(filepath.Join(c.dir, name)); err != nil {
			return err
		}
	}
	pki := filepath.Join(c.dir, "pki")
	if err := makePKI(pki, c.Nodes); err != nil {
		return err
	}
	for _, client := range []string{"admin", "controller-manager", "scheduler"} {
		if err := writeKubeconfig(filepath.Join(c.dir, client+".kubeconfig"), pki, client, apiURL()); err != nil {
			return err
		}
	}
	c.Kubeconfig = filepath.Join(c.dir, "admin.kubeconfig")
	var err error
	if c.REST, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return err
	}
	// Tests ask a lot at once, and nobody is hurt by it.
	c.REST.QPS, c.REST.Burst = 100, 200
	if c.Client, err = kubernetes.NewForConfig(c.REST); err != nil {
		return err
	}
	if err := c.connect(ctx); err != nil {
		return err
	}
	for _, n := range c.Nodes {
		if err := n.prepare(); err != nil {
			return fmt.Errorf("prepare %s: %w", n.Name, err)
		}
	}
	return c.openOutside(ctx)
}

// openOutside lets the outside reach the API server.
func (c *Cluster) openOutside(context.Context) error {
	if c.cfg.OutsidePort == 0 {
		return nil
	}
	const name = "kubeconfig"
	server := fmt.Sprintf("https://127.0.0.1:%d", c.cfg.OutsidePort)
	if err := writeKubeconfig(filepath.Join(c.dir, name), filepath.Join(c.dir, "pki"), "admin", server); err != nil {
		return err
	}
	c.OutsideKubeconfig = filepath.Join(sandbox.OuterDir(), name)
	l, err := net.Listen("unix", filepath.Join(c.dir, APISocket))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop, c.forwarded = stop, make(chan struct{})
	go func() {
		defer close(c.forwarded)
		sandbox.Pipe(ctx, l, "tcp", fmt.Sprintf("%s:%d", apiAddress, apiPort))
	}()
	return nil
}

// startMachines starts the control plane, and meanwhile the nodes' containerd
// with all images.
func (c *Cluster) startMachines(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.control.start(ctx, c.ready) })
	for _, n := range c.Nodes {
		g.Go(func() error {
			if err := n.boot(ctx); err != nil {
				return err
			}
			for _, archive := range archives(c.cfg.Images) {
				if err := n.LoadImage(ctx, archive); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (c *Cluster) startNodes(ctx context.Context) error {
	for _, n := range c.Nodes {
		if err := n.StartKubelet(ctx); err != nil {
			return err
		}
	}
	if err := c.deployDNS(ctx); err != nil {
		return err
	}
	return c.AwaitNodes(ctx)
}

// AwaitNodes waits until these nodes are Ready: all, if none are named.
func (c *Cluster) AwaitNodes(ctx context.Context, names ...string) error {
	return await(ctx, "nodes to be Ready", c.components(), func(ctx context.Context) error {
		missing := slices.Clone(names)
		if len(missing) == 0 {
			for _, n := range c.Nodes {
				missing = append(missing, n.Name)
			}
		}
		list, err := c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, n := range list.Items {
			if Ready(&n) {
				missing = slices.DeleteFunc(missing, func(name string) bool { return name == n.Name })
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("not Ready: %s", strings.Join(missing, ", "))
		}
		return nil
	})
}

// Ready says whether a node is.
func Ready(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// LoadImage loads the images of an archive on all nodes. It has to be in the
// state directory or in another place that nodes share: neither /var nor /run.
func (c *Cluster) LoadImage(ctx context.Context, archive string) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, n := range c.Nodes {
		g.Go(func() error { return n.LoadImage(ctx, archive) })
	}
	return g.Wait()
}

func (c *Cluster) components() []*component {
	all := c.control.components()
	for _, n := range c.Nodes {
		all = append(all, n.components()...)
	}
	return all
}

// Close ends it as a power cut would: nothing of it is used again.
func (c *Cluster) Close() error {
	c.stop()
	if c.forwarded != nil {
		<-c.forwarded
	}
	var errs []error
	for _, n := range c.Nodes {
		errs = append(errs, n.PowerOff())
	}
	c.control.kill()
	errs = append(errs, c.disconnect(context.Background()), os.RemoveAll(etcdDir))
	return errors.Join(errs...)
}
