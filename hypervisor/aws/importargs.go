package aws

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// ImportImageArgs describe the image that is made of disks built elsewhere. The first are those of Packer's post-processor amazon-import.
type ImportImageArgs struct {
	Name        string            `json:"ami_name" doc:"Name of the image, unique in its region. Default: that of the build." arg:"late" guest:"no"`
	Description string            `json:"ami_description" doc:"Description of the image." arg:"late" guest:"no"`
	Users       []string          `json:"ami_users" doc:"Accounts that may use it." guest:"no"`
	Groups      []string          `json:"ami_groups" doc:"Groups that may use it; all makes it public." guest:"no"`
	Orgs        []string          `json:"ami_org_arns" doc:"Organizations that may use it." guest:"no"`
	Units       []string          `json:"ami_ou_arns" doc:"Organizational units that may use it." guest:"no"`
	Encrypt     bool              `json:"ami_encrypt" doc:"Encrypt the image." guest:"no"`
	KMSKey      string            `json:"ami_kms_key" doc:"Key to encrypt with. Default: the account's." guest:"no"`
	Tags        map[string]string `json:"tags" doc:"Tags of the image and its snapshots." arg:"late" guest:"no"`

	Regions             []string          `json:"ami_regions" doc:"Regions to copy the image to." guest:"no"`
	RegionKMSKeyIDs     map[string]string `json:"region_kms_key_ids" doc:"Keys to encrypt with in other regions." guest:"no"`
	ForceDeregister     bool              `json:"force_deregister" doc:"Deregister an image of the same name first." guest:"no"`
	ForceDeleteSnapshot bool              `json:"force_delete_snapshot" doc:"Delete its snapshots too." guest:"no"`
	DeprecateAt         string            `json:"deprecate_at" doc:"When the image is deprecated, in RFC 3339." guest:"no"`
}

// ImportMachineArgs say which machines the image is for.
type ImportMachineArgs struct {
	Architecture string `json:"architecture" doc:"x86_64, arm64 or i386. Default: the guest's." guest:"no"`
	BootMode     string `json:"boot_mode" doc:"legacy-bios, uefi or uefi-preferred. Default: what the guest was installed with." guest:"no"`
	Platform     string `json:"platform" doc:"linux or windows, for ImportImage." guest:"no"`
	License      string `json:"license_type" doc:"AWS or BYOL, for ImportImage." guest:"no"`
	ENA          *bool  `json:"ena_support" doc:"Mark the image as able to use ENA. Default: unless the guest is known to have no driver." guest:"no"`
	TPM          string `json:"tpm_support" doc:"v2.0: instances have a TPM, under UEFI." guest:"no"`
	IMDS         string `json:"imds_support" doc:"v2.0: instances of the image use IMDSv2." guest:"no"`
}

// ImportBucketArgs choose the classic way, by a bucket. Without a bucket the disk is sent by the EBS direct APIs.
type ImportBucketArgs struct {
	Bucket        string `json:"s3_bucket_name" doc:"Bucket to import through. Without one none is needed: the disk is written to a snapshot." guest:"no"`
	Key           string `json:"s3_key_name" doc:"Name in the bucket. Default: one of its own." arg:"late" guest:"no"`
	Encryption    string `json:"s3_encryption" doc:"AES256 or aws:kms." guest:"no"`
	EncryptionKey string `json:"s3_encryption_key" doc:"Key for aws:kms." guest:"no"`
	SkipClean     bool   `json:"skip_clean" doc:"Leave the upload in the bucket." guest:"no"`
	Role          string `json:"role_name" doc:"Role of VM Import. Default vmimport." guest:"no"`
	Format        string `json:"format" doc:"What to upload: ova, raw, vhd, vhdx or vmdk. Default ova." guest:"no"`
	Kind          string `json:"s3_import" doc:"image (default): VM Import looks into the guest; snapshot: it takes the disk as it is, with any kernel." guest:"no"`
}

// ImportArgs are all arguments of an import.
type ImportArgs struct {
	AccessArgs
	ClientArgs
	ImportImageArgs
	ImportMachineArgs
	ImportBucketArgs
}

// PackageArgs are the arguments of package = ["ami"] in a source.
type PackageArgs struct {
	AMI *ImportArgs `json:"package_ami" doc:"The image that package = [\"ami\"] makes; the arguments are those of the post-processor amazon-import." arg:"block" guest:"no"`
}

// ParseImport reads the arguments of an import and finds what is wrong with them, all of it at once. It asks nobody. Text that is
// filled in while the build runs may still have its {{ }}.
func ParseImport(args json.RawMessage) (ImportArgs, error) {
	var a ImportArgs
	if len(args) > 0 {
		if err := json.Unmarshal(args, &a); err != nil {
			return a, err
		}
	}
	return a, a.check()
}

func (a ImportArgs) check() error {
	errs := []error{accessOf(a.AccessArgs, a.ClientArgs).Check(),
		oneOf("boot_mode", a.BootMode, "legacy-bios", "uefi", "uefi-preferred"), oneOf("architecture", a.Architecture, "x86_64", "arm64", "i386"),
		oneOf("platform", strings.ToLower(a.Platform), "linux", "windows"), oneOf("license_type", a.License, "AWS", "BYOL"),
		oneOf("tpm_support", a.TPM, "v2.0"), a.bucketProblems()}
	if a.VaultEngine != nil {
		errs = append(errs, errors.New("vault_aws_engine: Boxkiln asks no Vault; write its credentials to the environment or a profile before the build"))
	}
	if a.KMSKey != "" && !a.Encrypt {
		errs = append(errs, errors.New("ami_kms_key is used to encrypt: set ami_encrypt = true with it"))
	}
	if a.TPM != "" && a.BootMode == "legacy-bios" {
		errs = append(errs, errors.New(`tpm_support needs boot_mode = "uefi"`))
	}
	w, err := a.wanted("title", "title")
	if strings.Contains(a.Name, "{{") {
		w.Name = "title"
	}
	return errors.Join(append(errs, err, w.Check(a.Region))...)
}

// formats are what VM Import takes, by the extension of their files.
var formats = []string{"ova", "raw", "vhd", "vhdx", "vmdk"}

func (a ImportArgs) bucketProblems() error {
	if a.Bucket == "" {
		for name, value := range map[string]string{"s3_key_name": a.Key, "s3_encryption": a.Encryption, "s3_encryption_key": a.EncryptionKey, "s3_import": a.Kind} {
			if value != "" {
				return fmt.Errorf("%s belongs to an import through a bucket: set s3_bucket_name, or leave it out", name)
			}
		}
		return nil
	}
	errs := []error{oneOf("format", a.Format, formats...), oneOf("s3_encryption", a.Encryption, "AES256", "aws:kms"), oneOf("s3_import", a.Kind, "image", "snapshot")}
	if a.EncryptionKey != "" && a.Encryption != "aws:kms" {
		errs = append(errs, errors.New(`s3_encryption_key is for s3_encryption = "aws:kms"`))
	}
	if a.Kind == "snapshot" && a.format() == "ova" {
		errs = append(errs, errors.New(`s3_import = "snapshot" takes one disk: set format to raw, vhd, vhdx or vmdk`))
	}
	return errors.Join(errs...)
}

func oneOf(name, value string, known ...string) error {
	if value == "" || slices.Contains(known, value) {
		return nil
	}
	return fmt.Errorf("%s = %q: use one of %q", name, value, known)
}

func (a ImportArgs) format() string { return cmp.Or(a.Format, "ova") }

// ImportFormat is the format of the file that an import wants to have: raw disks with their holes, or what is uploaded.
func ImportFormat(args json.RawMessage) (string, error) {
	a, err := ParseImport(args)
	if a.Bucket == "" {
		return "raw", err
	}
	return a.format(), err
}

// wanted is the image that the arguments describe.
func (a ImportArgs) wanted(title, build string) (ami.Wanted, error) {
	w := ami.Wanted{
		Name: cmp.Or(a.Name, title), Description: cmp.Or(a.Description, "Made by Boxkiln of a disk built elsewhere: "+build), Tags: a.Tags, Regions: a.Regions,
		Sharing: ami.Sharing{Users: a.Users, Groups: a.Groups, OrgARNs: a.Orgs, OUARNs: a.Units},
		Replace: ami.Replace{Image: a.ForceDeregister, Snapshots: a.ForceDeleteSnapshot}, IMDSSupport: a.IMDS,
	}
	if a.Encrypt {
		w.Encryption = ami.Encryption{Boot: &a.Encrypt, Key: a.KMSKey, RegionKeys: a.RegionKMSKeyIDs}
	}
	if a.DeprecateAt == "" {
		return w, nil
	}
	var err error
	if w.DeprecateAt, err = time.Parse(time.RFC3339, a.DeprecateAt); err != nil {
		err = fmt.Errorf("deprecate_at = %q: a time such as 2027-01-31T00:00:00Z is needed", a.DeprecateAt)
	}
	return w, err
}

// architectures translates Go's names.
var architectures = map[string]types.ArchitectureValues{
	"amd64": types.ArchitectureValuesX8664, "arm64": types.ArchitectureValuesArm64, "386": types.ArchitectureValuesI386, "i386": types.ArchitectureValuesI386,
}

// rootDevice is what Amazon's own images call their root disk, and Nitro calls none.
const rootDevice = "/dev/xvda"

// hardware is the machine that the image is for.
func (a ImportArgs) hardware(r hypervisor.ImportRequest) (ami.Hardware, error) {
	h := ami.Hardware{RootDevice: rootDevice, TPM: types.TpmSupportValues(a.TPM), Architecture: types.ArchitectureValues(a.Architecture), BootMode: types.BootModeValues(a.BootMode)}
	if h.Architecture == "" {
		known, ok := architectures[r.Arch]
		if !ok {
			return h, fmt.Errorf("EC2 has no instances for guests of the architecture %q: there are amd64 and arm64", r.Arch)
		}
		h.Architecture = known
	}
	if h.BootMode == "" {
		h.BootMode = types.BootModeValuesLegacyBios
		if r.UEFI || h.Architecture == types.ArchitectureValuesArm64 {
			h.BootMode = types.BootModeValuesUefi
		}
	}
	if h.TPM != "" && h.BootMode == types.BootModeValuesLegacyBios {
		return h, errors.New("tpm_support needs a guest that was installed under UEFI")
	}
	h.ENA = !slices.Contains(r.Lacks, "ena")
	if a.ENA != nil {
		h.ENA = *a.ENA
	}
	return h, nil
}

// accessOf is the access that a template's arguments describe.
func accessOf(a AccessArgs, c ClientArgs) account.Access {
	access := account.Access{
		Region: a.Region, Profile: a.Profile, CredentialsFile: a.CredentialsFile, Endpoint: c.Endpoint, InsecureTLS: c.InsecureTLS,
		SkipMetadata: c.SkipMetadataCheck, SkipCheck: c.SkipCredentialCheck, Keys: account.NewKeys(a.AccessKey, a.SecretKey, a.Token, a.MFACode),
	}
	if c.MaxRetries > 0 {
		access.Tries = c.MaxRetries + 1
	}
	if p := c.Polling; p != nil {
		access.Polling = account.Polling{Delay: time.Duration(p.DelaySeconds) * time.Second, Attempts: p.MaxAttempts}
	}
	if r := a.AssumeRole; r != nil {
		access.Role = &account.Role{ARN: r.RoleARN, Duration: time.Duration(r.DurationSeconds) * time.Second, ExternalID: r.ExternalID, Policy: r.Policy,
			PolicyARNs: r.PolicyARNs, SessionName: r.SessionName, Tags: r.Tags, Transitive: r.TransitiveTagKeys}
	}
	return access
}

// ImportTouchesHost says what an import does on the daemon's host beyond reading the artifact: whoever may only submit builds must not
// spend the money of the daemon's owner.
func ImportTouchesHost(args json.RawMessage) string {
	a, err := ParseImport(args)
	switch {
	case err != nil:
		return err.Error()
	case a.AccessKey == "":
		return "an AMI without access_key uses the AWS credentials of the daemon's host"
	}
	return ""
}

// ImportSchema describes the post-processor amazon-import.
func ImportSchema() *schema.Block {
	return schema.New("amazon-import", "Makes an AMI of the artifact's disks.", AccessArgs{}, ClientArgs{}, ImportImageArgs{}, ImportMachineArgs{}, ImportBucketArgs{})
}
