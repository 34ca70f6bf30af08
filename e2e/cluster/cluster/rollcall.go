package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rollcall-metrics/rollcall/e2e/cluster/build"
)

// Apply applies a directory of Rollcall's manifests, or an overlay of them, with
// the images of a tag. It does not wait for anything to run.
func (c *Cluster) Apply(ctx context.Context, manifests, tag string) error {
	overlay, err := os.MkdirTemp(c.dir, "overlay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(overlay)
	// kustomize takes no absolute path.
	base, err := filepath.Rel(overlay, manifests)
	if err != nil {
		return err
	}
	var images strings.Builder
	for local, name := range map[string]string{"rollcall-agent": build.AgentImage(tag), "rollcall-aggregator": build.AggregatorImage(tag)} {
		fmt.Fprintf(&images, "- {name: %s, newName: %s, newTag: %q}\n", local, strings.TrimSuffix(name, ":"+tag), tag)
	}
	text := fmt.Sprintf("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [%q]\nimages:\n%s", base, &images)
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(text), 0o644); err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, nil, "apply", "-k", overlay); err != nil {
		return fmt.Errorf("apply %s: %w", manifests, err)
	}
	return nil
}
