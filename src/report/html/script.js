// Search: rows, steps and bars whose text does not have all words are hidden or dimmed.
const box = document.getElementById('search');
box.addEventListener('input', () => {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (text) => words.every((word) => text.toLowerCase().includes(word));
  for (const element of document.querySelectorAll('tbody tr, details')) element.classList.toggle('hidden', !fits(element.textContent));
  for (const bar of document.querySelectorAll('rect[class]')) bar.classList.toggle('dimmed', !fits(bar.textContent));
});
