package cluster

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/build"
)

// snapshotter copies files: it works on every file system.
const snapshotter = "native"

//go:embed config
var configs embed.FS

// writeConfig writes the files of components on a node.
func (n *Node) writeConfig() error {
	pki := filepath.Join(n.cluster.dir, "pki")
	values := map[string]any{
		"Name": n.Name, "Dir": n.nodeDir(), "Cgroup": n.cgroup, "PodSubnet": podSubnet(n.index).String(),
		"PodNetwork": podNetwork, "ServiceNetwork": serviceNetwork, "DNS": dnsService, "Domain": dnsDomain,
		"Snapshotter": snapshotter, "PauseImage": build.PauseImage,
	}
	for _, f := range []string{"containerd.toml", "kubelet.yaml", "kube-proxy.yaml", "cni/10-pods.conflist", "resolv.conf"} {
		if err := render(filepath.Join(n.dir, f), "config/"+f, values); err != nil {
			return err
		}
	}
	for _, f := range []string{"ca.crt", n.Name + "-serving.crt", n.Name + "-serving.key"} {
		text, err := os.ReadFile(filepath.Join(pki, f))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(n.dir, f), text, 0o600); err != nil {
			return err
		}
	}
	if err := writeKubeconfig(filepath.Join(n.dir, "kubelet.kubeconfig"), pki, n.Name, apiURL()); err != nil {
		return err
	}
	return writeKubeconfig(filepath.Join(n.dir, "kube-proxy.kubeconfig"), pki, "kube-proxy", apiURL())
}

// render fills in a template of configs.
func render(file, name string, values any) error {
	text, err := configs.ReadFile(name)
	if err != nil {
		return err
	}
	t, err := template.New(name).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := t.Execute(f, values); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return f.Close()
}
