package cluster

import (
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// writeKubeconfig writes a kubeconfig with everything in it, for the client
// whose certificate is in the files named so.
func writeKubeconfig(file, pki, client, server string) error {
	read := func(name string) (text []byte, err error) { return os.ReadFile(filepath.Join(pki, name)) }
	ca, err := read("ca.crt")
	if err != nil {
		return err
	}
	cert, err := read(client + ".crt")
	if err != nil {
		return err
	}
	key, err := read(client + ".key")
	if err != nil {
		return err
	}
	c := api.NewConfig()
	c.Clusters["rollcall"] = &api.Cluster{Server: server, CertificateAuthorityData: ca}
	c.AuthInfos[client] = &api.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	c.Contexts["rollcall"] = &api.Context{Cluster: "rollcall", AuthInfo: client}
	c.CurrentContext = "rollcall"
	return clientcmd.WriteToFile(*c, file)
}
