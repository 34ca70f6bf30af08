package resource

import (
	"fmt"
	"io"

	"k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/server"
	auditlog "k8s.io/apiserver/plugin/pkg/audit/log"
)

// An Audit says what is logged of who asked what.
type Audit struct {
	// PolicyFile is an audit policy of Kubernetes; empty: nothing is logged.
	PolicyFile string
	// Log is where events go, one a line, as JSON.
	Log io.Writer
}

func (a Audit) apply(cfg *server.Config) error {
	if a.PolicyFile == "" {
		return nil
	}
	p, err := policy.LoadPolicyFromFile(a.PolicyFile)
	if err != nil {
		return fmt.Errorf("--audit-policy-file: %w", err)
	}
	if p.OmitStages == nil {
		p.OmitStages = []audit.Stage{audit.StageRequestReceived}
	}
	cfg.AuditPolicyRuleEvaluator = policy.NewPolicyRuleEvaluator(p)
	cfg.AuditBackend = auditlog.NewBackend(a.Log, auditlog.FormatJson, auditv1.SchemeGroupVersion)
	return nil
}
