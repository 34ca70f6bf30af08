package authority

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The objects, and the key in each.
const (
	AuthoritySecret = "rollcall-authority"
	authoritiesKey  = "authorities.pem"
	TrustConfigMap  = "rollcall-trust"
	bundleKey       = "ca.crt"
	GossipSecret    = "rollcall-gossip"
	gossipKey       = "gossip.keys"
)

// Secrets reads and updates Secrets of one namespace; a client of Kubernetes is
// one.
type Secrets interface {
	Get(ctx context.Context, name string, opts meta.GetOptions) (*core.Secret, error)
	Update(ctx context.Context, secret *core.Secret, opts meta.UpdateOptions) (*core.Secret, error)
}

// ConfigMaps does so with ConfigMaps.
type ConfigMaps interface {
	Get(ctx context.Context, name string, opts meta.GetOptions) (*core.ConfigMap, error)
	Update(ctx context.Context, configMap *core.ConfigMap, opts meta.UpdateOptions) (*core.ConfigMap, error)
}

// update changes one key of a Secret as change says, which gets what is there. If
// somebody else was faster, it looks again.
func update(ctx context.Context, secrets Secrets, name, key string, change func(content []byte) ([]byte, error), log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		s, err := secrets.Get(ctx, name, meta.GetOptions{})
		if err != nil {
			return absent(err)
		}
		next, err := change(s.Data[key])
		if err != nil || bytes.Equal(next, s.Data[key]) {
			return err
		}
		s = s.DeepCopy()
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		s.Data[key] = next
		if _, err = secrets.Update(ctx, s, meta.UpdateOptions{}); err == nil {
			log.Info("secret changed", "secret", name, "key", key)
			return nil
		}
		if !apierrors.IsConflict(err) || attempt == conflicts {
			return err
		}
	}
}

// publish puts the CAs' certificates where agents mount them. If somebody else was
// faster, it looks again.
func (k *Keeper) publish(ctx context.Context, bundle string) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		c, err := k.cfg.ConfigMaps.Get(ctx, TrustConfigMap, meta.GetOptions{})
		if err != nil {
			return absent(err)
		}
		if c.Data[bundleKey] == bundle {
			return nil
		}
		c = c.DeepCopy()
		if c.Data == nil {
			c.Data = map[string]string{}
		}
		c.Data[bundleKey] = bundle
		if _, err = k.cfg.ConfigMaps.Update(ctx, c, meta.UpdateOptions{}); err == nil {
			k.log.Info("CAs published", "configmap", TrustConfigMap)
			return nil
		}
		if !apierrors.IsConflict(err) || attempt == conflicts {
			return err
		}
	}
}

func absent(err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%w; it comes, empty, with the manifests: apply them again", err)
	}
	return err
}
