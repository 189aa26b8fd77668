package aws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// settings are what a plan carries for this driver: the template's arguments, group by group, and who asks.
type settings struct {
	// URI is a place: who asks, and where. The build keeps it in the machine's handle too.
	URI string `json:"uri"`
	// Port is the guest's that the communicator talks to; 0 for none.
	Port int `json:"port,omitempty"`
	// KeyName is a key pair of the account to use, TemporaryKeyName the name of the one that is made.
	KeyName          string `json:"key_name,omitempty"`
	TemporaryKeyName string `json:"temporary_key_name,omitempty"`
	// Bastion is the host through which the guest is reached; empty for none.
	Bastion string `json:"bastion,omitempty"`

	Source      SourceArgs        `json:"source"`
	Instance    InstanceArgs      `json:"instance"`
	Performance PerformanceArgs   `json:"performance"`
	Network     NetworkArgs       `json:"network"`
	Groups      SecurityGroupArgs `json:"groups"`
	Spot        SpotArgs          `json:"spot"`
	RunTags     RunTagArgs        `json:"run_tags"`
	VolumeTags  VolumeTagArgs     `json:"volume_tags"`
	Connect     ConnectArgs       `json:"connect"`
	Hardware    DriverArgs        `json:"hardware"`
	Disks       MappingArgs       `json:"disks"`
	EBS         EBSArgs           `json:"ebs"`

	Image      ImageArgs      `json:"image"`
	Sharing    SharingArgs    `json:"sharing"`
	Replace    ReplaceArgs    `json:"replace"`
	Encryption EncryptionArgs `json:"encryption"`
	Snapshot   SnapshotArgs   `json:"snapshot"`
}

// groups are the parts of the settings that are read from the arguments as they are.
func (s *settings) groups() []any {
	return []any{&s.Source, &s.Instance, &s.Performance, &s.Network, &s.Groups, &s.Spot, &s.RunTags, &s.VolumeTags, &s.Connect,
		&s.Hardware, &s.Disks, &s.EBS, &s.Image, &s.Sharing, &s.Replace, &s.Encryption, &s.Snapshot}
}

func decodeSettings(options json.RawMessage) (settings, error) {
	var s settings
	if err := json.Unmarshal(options, &s); err != nil {
		return s, fmt.Errorf("the options of the driver cannot be read: %w", err)
	}
	return s, nil
}

// place is who asks and where, as a handle carries it: JSON, for which the plan's secrets are sealed like all other text.
type place struct {
	account.Access
	// Regions are those beside the access's own in which images are made.
	Regions []string `json:"regions,omitempty"`
	Key     string   `json:"key,omitempty"`
	Secret  string   `json:"secret,omitempty"`
	Token   string   `json:"token,omitempty"`
	MFA     string   `json:"mfa,omitempty"`
}

// formatPlace writes a place as it is kept in Handle.URI: nothing for one that the environment alone tells. Characters stay as they
// are, so that a secret in it is found when the handle is written down.
func formatPlace(a account.Access, regions []string) (string, error) {
	if a.IsZero() && len(regions) == 0 {
		return "", nil
	}
	p := place{Access: a, Regions: regions}
	p.Key, p.Secret, p.Token, p.MFA = a.Keys.Reveal()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(p)
	return string(bytes.TrimSpace(b.Bytes())), err
}

func parsePlace(uri string) (place, error) {
	var p place
	if uri == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(uri), &p); err != nil {
		return p, errors.New("who asks for the machine cannot be read") // the text may hold secrets
	}
	p.Keys = account.NewKeys(p.Key, p.Secret, p.Token, p.MFA)
	return p, nil
}
