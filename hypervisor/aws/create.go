package aws

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
)

// Create finds out what the template leaves open, looks whether the image could be made at all, and makes key pair and security
// group. The instance itself is run by Start.
func (d *Driver) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	set, err := decodeSettings(spec.Options)
	if err != nil {
		return nil, err
	}
	if spec.Tag.Install != d.install {
		return nil, fmt.Errorf("%w: the tag of %q is that of another installation", hypervisor.ErrForeign, spec.Name)
	}
	m := &Machine{driver: d, uri: set.URI}
	set.URI = ""
	known, found, err := readRecord(spec.Dir)
	switch {
	case err != nil:
		return nil, err
	case found && (known.Name != spec.Name || known.Tag != spec.Tag):
		return nil, fmt.Errorf("%w: %q", hypervisor.ErrForeign, known.Name)
	}
	acc, err := d.account(ctx, m.uri)
	if err != nil {
		return nil, nothingMade{err}
	}
	m.region, m.in = acc.In(known.Region), acc.In
	if m.record = known; known.Whole {
		return m, nil
	}
	if !found {
		if err := m.resolve(ctx, spec, set); err != nil {
			return nil, nothingMade{err}
		}
	}
	return m, m.furnish(ctx, spec.AuthorizedKey)
}

// resolve fills the record with all that has to be known before something is made.
func (m *Machine) resolve(ctx context.Context, spec hypervisor.Spec, set settings) error {
	m.record = record{Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir, Region: m.region.Name, Replace: spec.Force, Asked: map[kind]time.Time{}}
	if err := m.whoami(ctx); err != nil {
		return err
	}
	var err error
	if m.record.Source, err = findSource(ctx, m.region, set); err != nil {
		return err
	}
	if m.record.Settings, err = set.rendered(m.record.Source, m.region.Name); err != nil {
		return err
	}
	if m.record.UserData, err = readUserData(set, spec.Fetched); err != nil {
		return err
	}
	if err := m.checkName(ctx); err != nil {
		return err
	}
	return m.findNetwork(ctx)
}

// whoami tries the credentials, so that what is wrong with them is said before anything else.
func (m *Machine) whoami(ctx context.Context) error {
	p, err := parsePlace(m.uri)
	if err != nil || p.SkipCheck {
		return err
	}
	number, arn, err := m.region.Whoami(ctx)
	if err != nil {
		return err
	}
	m.driver.log.Info("credentials work", "account", number, "arn", arn, "region", m.region.Name)
	return nil
}

// readUserData returns the user data in base64.
func readUserData(set settings, fetched map[string]string) (string, error) {
	data := []byte(set.Instance.UserData)
	if set.Instance.UserDataFile != "" {
		var err error
		if data, err = os.ReadFile(fetched[userData]); err != nil {
			return "", fmt.Errorf("user_data_file: %w", err)
		}
	}
	const most = 16 << 10 // of RunInstances
	if len(data) > most {
		return "", fmt.Errorf("user_data has %d bytes, and EC2 takes %d: have it fetch the rest", len(data), most)
	}
	return base64.StdEncoding.EncodeToString(data), nil
}

// checkName looks whether the image's name is free before an hour is spent on what it shall name.
func (m *Machine) checkName(ctx context.Context) error {
	if m.record.Settings.EBS.SkipCreateAMI {
		return nil
	}
	w, err := m.wanted()
	if err != nil {
		return err
	}
	return m.maker(nil).CheckName(ctx, w)
}

// wanted is the image to make.
func (m *Machine) wanted() (ami.Wanted, error) {
	w, err := m.record.Settings.wanted()
	w.Replace.Image = w.Replace.Image || m.record.Replace
	return w, err
}

// maker makes and removes images; tell may be nil.
func (m *Machine) maker(tell func(ami.Event)) *ami.Maker {
	return &ami.Maker{In: m.in, Home: m.region.Name, Owner: m.record.Tag, Tell: tell}
}

// furnish makes what the instance needs: from here on there is something to remove.
func (m *Machine) furnish(ctx context.Context, key string) error {
	if err := m.record.save(); err != nil {
		return err
	}
	if err := m.makeKey(ctx, key); err != nil {
		return err
	}
	if err := m.makeGroup(ctx); err != nil {
		return err
	}
	m.record.Whole = true
	return m.record.save()
}

// ask makes something: it is written down first that it may exist, and that nobody has to wait for it any more only when make has
// seen it, or EC2 has refused to make it.
func (m *Machine) ask(ctx context.Context, k kind, make func(ctx context.Context) error) error {
	m.mu.Lock()
	if m.record.Asked == nil {
		m.record.Asked = map[kind]time.Time{}
	}
	m.record.Asked[k] = time.Now()
	err := m.record.save()
	m.mu.Unlock()
	if err != nil {
		return err
	}
	err = make(ctx)
	if err != nil && !refused(err) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.record.Asked, k)
	return errors.Join(err, m.record.save())
}

// refused tells that EC2 has read a call and made nothing. After a broken connection or an error within EC2 nobody knows.
func refused(err error) bool {
	if account.IsCapacity(err) || account.IsThrottled(err) {
		return true
	}
	var response *awshttp.ResponseError
	return account.Code(err) != "" && errors.As(err, &response) && response.HTTPStatusCode() < http.StatusInternalServerError
}

// tags are those of something that lives as long as the build.
func (m *Machine) tags(k types.ResourceType, own map[string]string) types.TagSpecification {
	all := map[string]string{}
	if len(m.record.Dir) <= maxTag {
		all[tagDir] = m.record.Dir
	}
	maps.Copy(all, own)
	all[tagMachine] = m.record.Name
	return account.Specification(k, account.Tags(m.record.Tag, m.record.Name, all))
}

// makeKey has EC2 know the build's own key, whose private half never leaves this host.
func (m *Machine) makeKey(ctx context.Context, authorized string) error {
	if m.record.Settings.KeyName != "" {
		m.record.Key = m.record.Settings.KeyName
		return nil
	}
	if authorized == "" {
		return nil
	}
	m.record.Key = m.record.Name
	if name := m.record.Settings.TemporaryKeyName; name != "" {
		m.record.Key = name
	}
	return m.ask(ctx, kindKey, func(ctx context.Context) error {
		_, err := m.region.EC2.ImportKeyPair(ctx, &ec2.ImportKeyPairInput{KeyName: &m.record.Key, PublicKeyMaterial: []byte(authorized),
			TagSpecifications: []types.TagSpecification{m.tags(types.ResourceTypeKeyPair, nil)}})
		if account.Code(err) == "InvalidKeyPair.Duplicate" {
			_, err = m.ours(ctx, kindKey, m.record.Key, err)
			return err
		}
		if err != nil {
			return err
		}
		return m.untilSeen(ctx, kindKey)
	})
}

// untilSeen waits until a thing that was made is found by its tags, as whoever cleans up will look for it.
func (m *Machine) untilSeen(ctx context.Context, k kind) error {
	return m.region.Poll.Until(ctx, fmt.Sprintf("the %s of %s to be found", k, m.record.Name), func(ctx context.Context) (bool, error) {
		found, err := m.findKind(ctx, k)
		return found.seen(k), err
	})
}

// ours finds what has a name already, if it is this very machine's: then a call was sent twice. taken is returned otherwise.
func (m *Machine) ours(ctx context.Context, k kind, name string, taken error) (id string, err error) {
	found, err := m.findKind(ctx, k)
	if err != nil {
		return "", err
	}
	for _, t := range found.of(k) {
		if t.name == name {
			return t.id, nil
		}
	}
	return "", fmt.Errorf("%w: %w", hypervisor.ErrForeign, taken)
}

// makeGroup makes a security group through which the guest's port can be reached from here, and nothing else, unless the template
// has groups of its own.
func (m *Machine) makeGroup(ctx context.Context) error {
	set := m.record.Settings
	if len(m.record.Groups) > 0 {
		return nil
	}
	sources, err := m.driver.sources(ctx, m.uri, set)
	if err != nil {
		return err
	}
	in := &ec2.CreateSecurityGroupInput{GroupName: &m.record.Name, Description: account.Optional("Temporary group of a build of Boxkiln"), VpcId: account.Optional(set.Network.VPCID),
		TagSpecifications: []types.TagSpecification{m.tags(types.ResourceTypeSecurityGroup, nil)}}
	return m.ask(ctx, kindGroup, func(ctx context.Context) error {
		out, err := m.region.EC2.CreateSecurityGroup(ctx, in)
		id := ""
		switch {
		case account.Code(err) == "InvalidGroup.Duplicate":
			if id, err = m.ours(ctx, kindGroup, m.record.Name, err); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			id = *out.GroupId
		}
		m.record.Groups = []string{id}
		if err := m.untilSeen(ctx, kindGroup); err != nil {
			return err
		}
		return m.open(ctx, id, sources)
	})
}

// open lets sources in to the guest's port.
func (m *Machine) open(ctx context.Context, group string, sources []string) error {
	port := int32(m.record.Settings.Port)
	if len(sources) == 0 || port == 0 {
		return nil
	}
	rule := types.IpPermission{IpProtocol: account.Optional("tcp"), FromPort: &port, ToPort: &port}
	for _, cidr := range sources {
		if strings.Contains(cidr, ":") {
			rule.Ipv6Ranges = append(rule.Ipv6Ranges, types.Ipv6Range{CidrIpv6: &cidr})
		} else {
			rule.IpRanges = append(rule.IpRanges, types.IpRange{CidrIp: &cidr})
		}
	}
	err := m.region.Poll.Settle(ctx, account.IsNotFound, func(ctx context.Context) error {
		_, err := m.region.EC2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &group, IpPermissions: []types.IpPermission{rule}})
		return err
	})
	if account.Code(err) == "InvalidPermission.Duplicate" {
		return nil
	}
	return err
}
