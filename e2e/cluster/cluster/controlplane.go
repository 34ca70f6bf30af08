package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
)

// etcdDir is in memory: it needs to outlive processes, but not the sandbox.
const etcdDir = "/run/rollcall/etcd"

const etcdURL = "http://127.0.0.1:2379"

// A controlPlane is what runs beside the nodes, in the sandbox's network.
type controlPlane struct {
	etcd, apiserver, controllers, scheduler *component
}

func (c *Cluster) newControlPlane() *controlPlane {
	pki := func(name string) string { return filepath.Join(c.dir, "pki", name) }
	conf := func(name string) string { return filepath.Join(c.dir, name+".kubeconfig") }
	of := func(name string, args ...string) *component {
		return &component{name: name, log: filepath.Join(c.Logs, name+".log"), args: args, launch: (*exec.Cmd).Start}
	}
	return &controlPlane{
		etcd: of("etcd", "/usr/bin/etcd",
			"--data-dir="+etcdDir,
			"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
			"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
			"--initial-cluster=default=http://127.0.0.1:2380"),
		apiserver: of("kube-apiserver", c.binary("kube-apiserver"),
			"--advertise-address="+apiAddress, fmt.Sprintf("--secure-port=%d", apiPort),
			"--etcd-servers="+etcdURL,
			"--service-cluster-ip-range="+serviceNetwork,
			"--allow-privileged",
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--client-ca-file="+pki("ca.crt"),
			"--tls-cert-file="+pki("apiserver.crt"), "--tls-private-key-file="+pki("apiserver.key"),
			"--kubelet-certificate-authority="+pki("ca.crt"),
			"--kubelet-client-certificate="+pki("apiserver-kubelet-client.crt"), "--kubelet-client-key="+pki("apiserver-kubelet-client.key"),
			"--kubelet-preferred-address-types=InternalIP",
			"--service-account-issuer=https://kubernetes.default.svc."+dnsDomain,
			"--service-account-key-file="+pki("service-accounts.crt"), "--service-account-signing-key-file="+pki("service-accounts.key"),
			"--requestheader-client-ca-file="+pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
			"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file="+pki("front-proxy-client.crt"), "--proxy-client-key-file="+pki("front-proxy-client.key"),
			"--enable-aggregator-routing"),
		controllers: of("kube-controller-manager", c.binary("kube-controller-manager"),
			"--kubeconfig="+conf("controller-manager"), "--authentication-kubeconfig="+conf("controller-manager"), "--authorization-kubeconfig="+conf("controller-manager"),
			"--leader-elect=false", "--use-service-account-credentials",
			// Tests wait for it; the default is 15s.
			"--horizontal-pod-autoscaler-sync-period=5s",
			// The default is in /usr, and is made.
			"--flex-volume-plugin-dir="+filepath.Join(c.dir, "flexvolume"),
			"--root-ca-file="+pki("ca.crt"), "--service-account-private-key-file="+pki("service-accounts.key"),
			"--cluster-signing-cert-file="+pki("ca.crt"), "--cluster-signing-key-file="+pki("ca.key")),
		scheduler: of("kube-scheduler", c.binary("kube-scheduler"),
			"--kubeconfig="+conf("scheduler"), "--authentication-kubeconfig="+conf("scheduler"), "--authorization-kubeconfig="+conf("scheduler"),
			"--leader-elect=false"),
	}
}

func (p *controlPlane) components() []*component {
	return []*component{p.etcd, p.apiserver, p.controllers, p.scheduler}
}

// start starts it, and returns when the API server is ready.
func (p *controlPlane) start(ctx context.Context, ready func(context.Context) error) error {
	if err := p.etcd.start(); err != nil {
		return err
	}
	err := await(ctx, "etcd", []*component{p.etcd}, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, etcdURL+"/health", nil)
		if err != nil {
			return err
		}
		resp, err := new(http.Client).Do(req) // bounded by ctx
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("etcd is not healthy: %s", resp.Status)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := p.apiserver.start(); err != nil {
		return err
	}
	if err := await(ctx, "the API server", []*component{p.etcd, p.apiserver}, ready); err != nil {
		return err
	}
	if err := p.controllers.start(); err != nil {
		return err
	}
	return p.scheduler.start()
}

func (p *controlPlane) kill() {
	for _, c := range []*component{p.scheduler, p.controllers, p.apiserver, p.etcd} {
		c.kill()
	}
}

// ready asks the API server for /readyz.
func (c *Cluster) ready(ctx context.Context) error {
	_, err := c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err
}

// StopAPIServer stops the API server as a crash would.
func (c *Cluster) StopAPIServer() { c.control.apiserver.kill() }

// StartAPIServer starts the API server again and waits until it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.control.apiserver.start(); err != nil {
		return err
	}
	return await(ctx, "the API server", []*component{c.control.etcd, c.control.apiserver}, c.ready)
}
