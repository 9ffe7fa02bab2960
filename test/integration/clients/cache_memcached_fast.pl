# Perl Cache::Memcached::Fast: through the first port, then the second.
use strict;
use warnings;
use Cache::Memcached::Fast;

my ($first, $second) = map { Cache::Memcached::Fast->new({servers => ["127.0.0.1:$_"]}) } @ARGV;
sub check { my ($what, $got, $wanted) = @_; die "$what: $got" unless $got eq $wanted; }

check('set', $first->set('key', 'value'), 1);
check('get', $second->get('key'), 'value');
check('add', $second->add('key', 'other') ? 1 : 0, 0);
check('replace', $second->replace('key', {a => [1, 2]}) ? 1 : 0, 1);
check('structure', $first->get('key')->{a}[1], 2);
check('missing', $first->get('missing') // 'undef', 'undef');
$first->set($_, "value of $_") for 'a' .. 'z';
check('get_multi', join(',', map { $second->get_multi('a' .. 'z')->{$_} } 'b', 'y'),
      'value of b,value of y');
$first->set('count', 41);
check('incr', $second->incr('count'), 42);
check('decr', $first->decr('count', 2), 40);
check('long', $first->set('long', 'x' x 500_000), 1);
check('long back', length $second->get('long'), 500_000);
check('delete', $first->delete('key') ? 1 : 0, 1);
check('deleted', $second->get('key') // 'undef', 'undef');
my ($cas, $value) = @{$first->gets('count')};
check('cas', $second->cas('count', $cas, 'new') ? 1 : 0, 1);
check('cas again', $first->cas('count', $cas, 'newer') ? 1 : 0, 0);
check('append', $first->append('count', '!') ? 1 : 0, 1);
check('prepend', $second->prepend('count', '>') ? 1 : 0, 1);
check('appended', $first->get('count'), '>new!');
check('touch', $second->touch('count', 100) ? 1 : 0, 1);
