package cloud

import (
	"fmt"
	"strings"
)

// families are those of the types of instances that can be had, and which of them are what.
const (
	families  = " t1 t2 t3 t3a t4g m1 m3 m4 m5 m5a m5n m6a m6g m6i m7a m7g m7i c3 c4 c5 c5a c6a c6g c6i c7g c7i r4 r5 r5a r6g r6i r7i i3 i4i "
	xen       = " t1 t2 m1 m3 m4 c3 c4 r4 i3 " // older than Nitro: these need no ENA
	arm       = " t4g m6g m7g c6g c7g r6g "
	sizes     = " nano micro small medium large xlarge 2xlarge 4xlarge 8xlarge "
	firstZone = " m1 m3 t1 " // to be had in the first zone of a region only
)

func has(list, word string) bool { return strings.Contains(list, " "+word+" ") }

// instanceKind is a type of instances.
type instanceKind struct {
	name, arch       string
	nitro, everyZone bool
}

func kindOf(name string) (instanceKind, bool) {
	family, size, _ := strings.Cut(name, ".")
	if !has(families, family) || !has(sizes, size) {
		return instanceKind{}, false
	}
	k := instanceKind{name, "x86_64", !has(xen, family), !has(firstZone, family)}
	if has(arm, family) {
		k.arch = "arm64"
	}
	return k, true
}

func allKinds() []instanceKind {
	var all []instanceKind
	for _, family := range strings.Fields(families) {
		for _, size := range strings.Fields(sizes) {
			k, _ := kindOf(family + "." + size)
			all = append(all, k)
		}
	}
	return all
}

func (k instanceKind) in(zone string) bool { return k.everyZone || strings.HasSuffix(zone, "a") }

// fits tells whether an image can run on a type of instances in a zone.
func fits(kind, zone string, im *image) error {
	k, known := kindOf(kind)
	switch {
	case !known:
		return problem("InvalidParameterValue", "Invalid value '%s' for InstanceType.", kind)
	case !k.in(zone):
		return problem("Unsupported", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s). Please retry your request by not specifying an Availability Zone or choosing %sa.", kind, zone, zone[:len(zone)-1])
	case k.arch != im.arch:
		return problem("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again.", k.arch, im.arch)
	case k.nitro && !im.ena:
		return problem("InvalidParameterCombination", "Enhanced networking with the Elastic Network Adapter (ENA) is required for the '%s' instance type. Ensure that you are using an AMI that is enabled for ENA.", kind)
	}
	return nil
}

func describeOfferings(c *call) (any, error) {
	type item struct {
		Kind     string `xml:"instanceType"`
		Where    string `xml:"locationType"`
		Location string `xml:"location"`
	}
	var out struct {
		Offerings []item `xml:"instanceTypeOfferingSet>item"`
	}
	where, places := c.or("LocationType", "region"), []string{c.region.name}
	switch where {
	case "region":
	case "availability-zone":
		places = c.region.zones()
	default:
		return nil, problem("InvalidParameterValue", "the location type %s is not simulated", where)
	}
	for _, kind := range allKinds() {
		for _, place := range places {
			pass, err := c.selects(attributes{"instance-type": {kind.name}, "location": {place}})
			if err != nil {
				return nil, err
			}
			if pass && (where == "region" || kind.in(place)) {
				out.Offerings = append(out.Offerings, item{kind.name, where, place})
			}
		}
	}
	return out, nil
}

func describeTypes(c *call) (any, error) {
	type item struct {
		Kind       string   `xml:"instanceType"`
		Current    bool     `xml:"currentGeneration"`
		Hypervisor string   `xml:"hypervisor"`
		Archs      []string `xml:"processorInfo>supportedArchitectures>item"`
		ENA        string   `xml:"networkInfo>enaSupport"`
		BootModes  []string `xml:"supportedBootModes>item"`
		Virtual    []string `xml:"supportedVirtualizationTypes>item"`
	}
	var out struct {
		Types []item `xml:"instanceTypeSet>item"`
	}
	wanted := c.list("InstanceType")
	kinds := allKinds()
	if len(wanted) > 0 {
		kinds = nil
		for _, name := range wanted {
			k, known := kindOf(name)
			if !known {
				return nil, problem("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", name)
			}
			kinds = append(kinds, k)
		}
	}
	for _, k := range kinds {
		it := item{k.name, k.nitro, "xen", []string{k.arch}, "unsupported", []string{"legacy-bios"}, []string{"hvm"}}
		if k.nitro {
			it.Hypervisor, it.ENA, it.BootModes = "nitro", "required", []string{"legacy-bios", "uefi"}
		}
		pass, err := c.selects(attributes{"instance-type": {k.name}, "processor-info.supported-architecture": it.Archs, "hypervisor": {it.Hypervisor},
			"current-generation": {fmt.Sprint(it.Current)}, "supported-boot-mode": it.BootModes})
		if err != nil {
			return nil, err
		}
		if pass {
			out.Types = append(out.Types, it)
		}
	}
	return out, nil
}
