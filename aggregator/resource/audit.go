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

// An Audit says what is logged of who asked what. A nil one logs nothing.
type Audit struct {
	policy *audit.Policy
	events io.Writer
}

// LoadAudit reads an audit policy of Kubernetes (audit.k8s.io/v1). Events go to a
// writer, one a line, as JSON. The error names the file.
func LoadAudit(policyFile string, events io.Writer) (*Audit, error) {
	p, err := policy.LoadPolicyFromFile(policyFile)
	if err != nil {
		return nil, fmt.Errorf("audit policy: %w", err)
	}
	if p.OmitStages == nil {
		p.OmitStages = []audit.Stage{audit.StageRequestReceived}
	}
	return &Audit{p, events}, nil
}

func (a *Audit) apply(cfg *server.Config) {
	if a == nil {
		return
	}
	cfg.AuditPolicyRuleEvaluator = policy.NewPolicyRuleEvaluator(a.policy)
	cfg.AuditBackend = auditlog.NewBackend(a.events, auditlog.FormatJson, auditv1.SchemeGroupVersion)
}
