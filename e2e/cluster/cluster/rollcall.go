package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/build"
)

// Manifests is what of Rollcall's manifests to apply, as a user's kustomization
// says it.
type Manifests struct {
	// Dir is the directory with base and components.
	Dir string
	// Tag is that of the images, which nodes have.
	Tag string
	// Components are names in Dir/components.
	Components []string
	// Patches are more entries of the kustomization's patches, in YAML.
	Patches string
	// DryRun has the API server check them, strictly, and apply nothing.
	DryRun bool
}

// Apply applies Rollcall's manifests.
func (c *Cluster) Apply(ctx context.Context, m Manifests) error {
	args := []string{"apply"}
	if m.DryRun {
		args = append(args, "--dry-run=server", "--validate=strict")
	}
	if _, err := c.kustomize(ctx, m, append(args, "-k")...); err != nil {
		return fmt.Errorf("apply %s: %w", m.Dir, err)
	}
	return nil
}

// Render returns what Apply would apply.
func (c *Cluster) Render(ctx context.Context, m Manifests) (string, error) {
	return c.kustomize(ctx, m, "kustomize")
}

// kustomize runs kubectl with a directory that has the kustomization.
func (c *Cluster) kustomize(ctx context.Context, m Manifests, args ...string) (string, error) {
	overlay, err := os.MkdirTemp(c.dir, "overlay-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(overlay)
	text, err := m.kustomization(overlay)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(text), 0o644); err != nil {
		return "", err
	}
	return c.Kubectl(ctx, nil, append(args, overlay)...)
}

// kustomization is the text of one in a directory.
func (m Manifests) kustomization(dir string) (string, error) {
	// kustomize takes no absolute path.
	up, err := filepath.Rel(dir, m.Dir)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "resources: [%q]\n", filepath.Join(up, "base"))
	if len(m.Components) > 0 {
		b.WriteString("components:\n")
	}
	for _, component := range m.Components {
		fmt.Fprintf(&b, "- %q\n", filepath.Join(up, "components", component))
	}
	b.WriteString("images:\n")
	for local, image := range map[string]string{"rollcall-agent": build.AgentImage(m.Tag), "rollcall-aggregator": build.AggregatorImage(m.Tag)} {
		fmt.Fprintf(&b, "- {name: %s, newName: %s, newTag: %q}\n", local, strings.TrimSuffix(image, ":"+m.Tag), m.Tag)
	}
	if m.Patches != "" {
		fmt.Fprintf(&b, "patches:%s", m.Patches)
	}
	return b.String(), nil
}
