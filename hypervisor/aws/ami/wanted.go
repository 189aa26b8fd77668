package ami

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Wanted describes an image as its user wants it. The zero value of everything but Name means: as EC2 does by default.
type Wanted struct {
	Name        string // unique among the account's images of a region; 3 to 128 characters
	Description string
	// Tags go to the image and its snapshots; SnapshotTags to the snapshots, over those of Tags.
	Tags, SnapshotTags map[string]string
	// Regions are those that the image is copied to; that of the build may be among them.
	Regions []string
	// SkipHome keeps no image in the region of the build.
	SkipHome bool
	// CopyMinutes is the time in which EC2 shall have copied the snapshots, for a price; 0 leaves it to EC2.
	CopyMinutes int64
	// Devices are disks of the image, over those of the instance, or all that there are.
	Devices []types.BlockDeviceMapping

	Sharing    Sharing
	Encryption Encryption
	Replace    Replace
	Protection Protection
	// DeprecateAt is when the image is deprecated; zero for never.
	DeprecateAt time.Time
	// IMDSSupport is "v2.0" for an image whose instances answer IMDSv2 only, and empty otherwise.
	IMDSSupport string

	copied bool // FromImage: the image to begin with is an intermediate one
}

// Sharing says who else may use the image and its snapshots.
type Sharing struct {
	Users, Groups                 []string // accounts; "all" is the only group that EC2 knows
	OrgARNs, OUARNs               []string
	ProductCodes                  []string
	SnapshotUsers, SnapshotGroups []string
}

// withAccounts tells whether anybody but this account and the public is named, to whom the default key says nothing.
func (s Sharing) withAccounts() bool {
	return len(s.Users)+len(s.OrgARNs)+len(s.OUARNs)+len(s.SnapshotUsers) > 0
}

// Encryption is about encrypted snapshots. Keys are ids, ARNs or aliases; an empty key is the account's default one.
type Encryption struct {
	// Boot is nil to keep what the instance's volumes have.
	Boot *bool
	// Key is that of the region of the build, unless RegionKeys has another; RegionKeys are those of other regions.
	Key        string
	RegionKeys map[string]string
}

func (e Encryption) on() bool { return e.Boot != nil && *e.Boot }

// key is the key to encrypt with in a region.
func (e Encryption) key(region, home string) string {
	if key, has := e.RegionKeys[region]; has {
		return key
	}
	if region == home {
		return e.Key
	}
	return ""
}

// Replace says what happens to an image of the same name.
type Replace struct {
	Image     bool // deregister it
	Snapshots bool // and delete its snapshots
}

// Protection keeps an image from being deregistered.
type Protection struct {
	Enabled  bool
	Cooldown bool // and for a day after somebody has taken the protection off
}

// Hardware is what an image of snapshots tells about the machines that it is for. An image of an instance has its own.
type Hardware struct {
	Architecture   types.ArchitectureValues // required
	RootDevice     string                   // required; one of Wanted.Devices, which has a snapshot
	Virtualization string                   // hvm (default) or paravirtual
	BootMode       types.BootModeValues     // empty for what the instance type prefers
	UEFIData       string                   // variables, as GetInstanceUefiData gives them
	TPM            types.TpmSupportValues   // v2.0 or empty
	ENA, SRIOV     bool
}

// The names of images. Source: CreateImage, parameter Name.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9()\[\] ./'@_-]{3,128}$`)

// keyForms are how a key can be named. Source: CopyImage, parameter KmsKeyId.
var keyForms = regexp.MustCompile(`^(?:(?:mrk-)?[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|alias/[A-Za-z0-9/_-]+|arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(?:key|alias)/[A-Za-z0-9/_-]+)$`)

// Check finds what is wrong with w for a build in the region home, all of it at once. It asks nobody.
func (w Wanted) Check(home string) error {
	var errs []error
	if !nameForm.MatchString(w.Name) {
		errs = append(errs, fmt.Errorf("ami_name %q: 3 to 128 letters, digits, spaces and ( ) [ ] . / - ' @ _ are allowed; clean_resource_name() replaces others", w.Name))
	}
	if w.SkipHome && len(w.targets(home)) == 0 {
		errs = append(errs, errors.New("skip_save_build_region without a region in ami_regions: no image would be left"))
	}
	if w.IMDSSupport != "" && w.IMDSSupport != string(types.ImdsSupportValuesV20) {
		errs = append(errs, fmt.Errorf("imds_support %q: only %q is possible", w.IMDSSupport, types.ImdsSupportValuesV20))
	}
	for _, g := range slices.Concat(w.Sharing.Groups, w.Sharing.SnapshotGroups) {
		if g != string(types.PermissionGroupAll) {
			errs = append(errs, fmt.Errorf("group %q in ami_groups or snapshot_groups: EC2 knows no other group than \"all\"", g))
		}
	}
	return errors.Join(append(errs, w.checkKeys(home)...)...)
}

func (w Wanted) checkKeys(home string) (errs []error) {
	e := w.Encryption
	if !e.on() && (e.Key != "" || len(e.RegionKeys) > 0) {
		errs = append(errs, errors.New("kms_key_id and region_kms_key_ids are used to encrypt: set encrypt_boot = true with them"))
	}
	for _, region := range slices.Sorted(maps.Keys(e.RegionKeys)) {
		if region != home && !slices.Contains(w.Regions, region) {
			errs = append(errs, fmt.Errorf("region %q is in region_kms_key_ids and not in ami_regions", region))
		}
	}
	for _, key := range append(slices.Sorted(maps.Values(e.RegionKeys)), e.Key) {
		if key != "" && !keyForms.MatchString(key) {
			errs = append(errs, fmt.Errorf("key %q: write the id of a key, alias/NAME or an ARN", key))
		}
	}
	if !e.on() || !w.Sharing.withAccounts() {
		return errs
	}
	for _, region := range w.targets(home) {
		if e.key(region, home) == "" {
			errs = append(errs, fmt.Errorf("the image in %s is encrypted with the account's default key, which other accounts cannot use: set a key of your own in region_kms_key_ids or kms_key_id", region))
		}
	}
	return errs
}

// indirect tells whether the image is made by copying an intermediate one.
func (w Wanted) indirect() bool { return w.Encryption.on() || w.SkipHome || w.copied }

// targets are the regions in which the user finds an image in the end, that of the build first.
func (w Wanted) targets(home string) []string {
	var all []string
	if !w.SkipHome {
		all = append(all, home)
	}
	for _, r := range slices.Sorted(slices.Values(w.Regions)) {
		if r != home && !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return all
}

// Touched are the regions in which making the image makes something, that of the build first: those to look at afterwards.
func (w Wanted) Touched(home string) []string {
	w.SkipHome = false
	return w.targets(home)
}

// snapshotTags are the tags of the snapshots.
func (w Wanted) snapshotTags() map[string]string {
	all := maps.Clone(w.Tags)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, w.SnapshotTags)
	return all
}
