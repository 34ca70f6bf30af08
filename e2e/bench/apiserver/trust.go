package apiserver

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FrontProxy is the name in the certificate of who passes on requests.
const FrontProxy = "front-proxy-client"

// The ConfigMap in which an API server says how it is known.
const trustNamespace, trustName = "kube-system", "extension-apiserver-authentication"

// trust is that ConfigMap: the CAs, in PEM, of clients and of who passes on requests.
func trust(clients, frontProxy string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: trustNamespace, Name: trustName, UID: "0b2c7d5e-6d2f-4c1e-9d53-0123456789ab", ResourceVersion: "42"},
		Data: map[string]string{
			"client-ca-file":                     clients,
			"requestheader-client-ca-file":       frontProxy,
			"requestheader-allowed-names":        `["` + FrontProxy + `"]`,
			"requestheader-username-headers":     `["X-Remote-User"]`,
			"requestheader-uid-headers":          `["X-Remote-Uid"]`,
			"requestheader-group-headers":        `["X-Remote-Group"]`,
			"requestheader-extra-headers-prefix": `["X-Remote-Extra-"]`,
		},
	}
}
