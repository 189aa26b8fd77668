# What every web server has.
node default {
  include nginx

  package { ['curl', 'vim', 'ntp']:
    ensure => installed,
  }

  file { '/etc/role':
    content => "${::role}, built by ${::built_by}\n",
  }
}
