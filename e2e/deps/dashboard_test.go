package deps

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// TestDashboardManifests checks what the Kubernetes Dashboard is particular about, and
// says nothing about when it is not met: the Services' names, and their one port, which
// must have no name.
func TestDashboardManifests(t *testing.T) {
	files, err := filepath.Glob("../../manifests/components/dashboard/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	var forwarder appsv1.Deployment
	services := map[string]corev1.Service{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			var object struct {
				metav1.TypeMeta   `json:",inline"`
				metav1.ObjectMeta `json:"metadata"`
			}
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			switch object.Kind {
			case "Kustomization", "Component":
				continue
			case "Deployment":
				err = yaml.Unmarshal([]byte(document), &forwarder)
			case "Service":
				var s corev1.Service
				err = yaml.Unmarshal([]byte(document), &s)
				services[s.Name] = s
			}
			if err != nil {
				t.Errorf("%s: %s %s: %v", file, object.Kind, object.Name, err)
			}
			if intoAggregators := object.Kind == "NetworkPolicy" && object.Labels["app.kubernetes.io/component"] == "aggregator"; !intoAggregators && object.Namespace != "kubernetes-dashboard" {
				t.Errorf("%s: %s %s is in %s", file, object.Kind, object.Name, object.Namespace)
			}
		}
	}
	if len(services) != 2 {
		t.Errorf("%d Services", len(services))
	}
	for _, name := range []string{"kubernetes-dashboard-metrics-scraper", "dashboard-metrics-scraper"} {
		s := services[name]
		if len(s.Spec.Ports) != 1 || s.Spec.Ports[0].Name != "" || s.Spec.Ports[0].Port != 8000 {
			t.Errorf("%s: ports %+v, want 8000 alone, without a name", name, s.Spec.Ports)
		}
		if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(forwarder.Spec.Template.Labels)) || len(s.Spec.Selector) == 0 {
			t.Errorf("%s selects %v, forwarders are %v", name, s.Spec.Selector, forwarder.Spec.Template.Labels)
		}
	}
	if token := forwarder.Spec.Template.Spec.AutomountServiceAccountToken; token == nil || *token {
		t.Error("forwarders get a token, which they have no use for")
	}
}
